"""Outputs of real processes that were made to end badly (torch 2.13, datasets 5.2, huggingface_hub, gloo), verbatim but for paths.

Each is (name, output, evidence but for the tail, kinds that are honest answers, prefixes of codes that are).
"""

# ruff: noqa: E501
from __future__ import annotations

from typing import Any

REAL: list[tuple[str, str, dict[str, Any], set[str | None], str]] = [
    (
        "aborted",
        """""",
        {"signal": 6},
        {"code", "unknown"},
        "",
    ),
    (
        "badjson",
        """Generating train split: 0 examples [00:00, ? examples/s]Failed to load JSON from file '/srv/e.jsonl' with error <class 'pyarrow.lib.ArrowInvalid'>: JSON parse error: Invalid encoding in string. in row 3
Generating train split: 0 examples [00:00, ? examples/s]
Traceback (most recent call last):
  File "/opt/venv/lib/python3.11/site-packages/datasets/packaged_modules/json/json.py", line 350, in _generate_tables
    df = pandas_read_json(f)
         ^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/datasets/packaged_modules/json/json.py", line 38, in pandas_read_json
    return pd.read_json(path_or_buf, **kwargs)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/pandas/io/json/_json.py", line 1017, in read_json
    return json_reader.read()
           ^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/pandas/io/json/_json.py", line 1270, in read
    obj = self._read_ujson()
          ^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/pandas/io/json/_json.py", line 1320, in _read_ujson
    obj = self._get_object_parser(self.data)
          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/pandas/io/json/_json.py", line 1344, in _get_object_parser
    return FrameParser(json, **kwargs).parse()
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/pandas/io/json/_json.py", line 1501, in parse
    obj = self._parse()
          ^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/pandas/io/json/_json.py", line 1837, in _parse
    ujson_loads(json, precise_float=self.precise_float), dtype=None
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
ValueError: Trailing data at position 12
During handling of the above exception, another exception occurred:
Traceback (most recent call last):
  File "/opt/venv/lib/python3.11/site-packages/datasets/builder.py", line 1835, in _prepare_split_single
    for key, table in generator:
  File "/opt/venv/lib/python3.11/site-packages/datasets/packaged_modules/json/json.py", line 353, in _generate_tables
    raise e
  File "/opt/venv/lib/python3.11/site-packages/datasets/packaged_modules/json/json.py", line 291, in _generate_tables
    pa_table = paj.read_json(
               ^^^^^^^^^^^^^^
  File "pyarrow/_json.pyx", line 364, in pyarrow._json.read_json
  File "pyarrow/error.pxi", line 155, in pyarrow.lib.pyarrow_internal_check_status
  File "pyarrow/error.pxi", line 92, in pyarrow.lib.check_status
pyarrow.lib.ArrowInvalid: JSON parse error: Invalid encoding in string. in row 3
The above exception was the direct cause of the following exception:
Traceback (most recent call last):
  File "/srv/app/badjson.py", line 5, in <module>
    load_dataset("json",data_files="/srv/e.jsonl",split="train")
  File "/opt/venv/lib/python3.11/site-packages/datasets/load.py", line 1687, in load_dataset
    builder_instance.download_and_prepare(
  File "/opt/venv/lib/python3.11/site-packages/datasets/builder.py", line 901, in download_and_prepare
    self._download_and_prepare(
  File "/opt/venv/lib/python3.11/site-packages/datasets/builder.py", line 962, in _download_and_prepare
    self._prepare_split(split_generator, **prepare_split_kwargs)
  File "/opt/venv/lib/python3.11/site-packages/datasets/builder.py", line 1702, in _prepare_split
    for job_id, done, content in self._prepare_split_single(
  File "/opt/venv/lib/python3.11/site-packages/datasets/builder.py", line 1887, in _prepare_split_single
    raise DatasetGenerationError("An error occurred while generating the dataset") from e
datasets.exceptions.DatasetGenerationError: An error occurred while generating the dataset""",
        {"exit_code": 1, "phase": "load"},
        {"data"},
        "",
    ),
    (
        "cast",
        """Generating train split: 4 examples [00:00, 138.88 examples/s]""",
        {"exit_code": 0},
        {None},
        "",
    ),
    (
        "cast2",
        """Generating train split: 3 examples [00:00, 112.14 examples/s]
Traceback (most recent call last):
  File "/opt/venv/lib/python3.11/site-packages/datasets/builder.py", line 1835, in _prepare_split_single
    for key, table in generator:
  File "/opt/venv/lib/python3.11/site-packages/datasets/packaged_modules/json/json.py", line 369, in _generate_tables
    self._cast_table(pa_table, json_field_paths=json_field_paths),
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/datasets/packaged_modules/json/json.py", line 132, in _cast_table
    pa_table = table_cast(pa_table, self.info.features.arrow_schema)
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/datasets/table.py", line 2385, in table_cast
    return cast_table_to_schema(table, schema)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/datasets/table.py", line 2313, in cast_table_to_schema
    raise CastError(
datasets.table.CastError: Couldn't cast
messages: string
text: string
to
{'text': Value('string')}
because column names don't match
The above exception was the direct cause of the following exception:
Traceback (most recent call last):
  File "/srv/app/cast2.py", line 6, in <module>
    load_dataset("json",data_files=["/srv/d1.jsonl","/srv/d2.jsonl"],split="train")
  File "/opt/venv/lib/python3.11/site-packages/datasets/load.py", line 1687, in load_dataset
    builder_instance.download_and_prepare(
  File "/opt/venv/lib/python3.11/site-packages/datasets/builder.py", line 901, in download_and_prepare
    self._download_and_prepare(
  File "/opt/venv/lib/python3.11/site-packages/datasets/builder.py", line 962, in _download_and_prepare
    self._prepare_split(split_generator, **prepare_split_kwargs)
  File "/opt/venv/lib/python3.11/site-packages/datasets/builder.py", line 1702, in _prepare_split
    for job_id, done, content in self._prepare_split_single(
  File "/opt/venv/lib/python3.11/site-packages/datasets/builder.py", line 1887, in _prepare_split_single
    raise DatasetGenerationError("An error occurred while generating the dataset") from e
datasets.exceptions.DatasetGenerationError: An error occurred while generating the dataset""",
        {"exit_code": 1, "phase": "load"},
        {"data"},
        "",
    ),
    (
        "chained",
        """Traceback (most recent call last):
  File "/srv/app/chained.py", line 3, in load
    try: return json.load(open(p))
                          ^^^^^^^
FileNotFoundError: [Errno 2] No such file or directory: 'nowhere.json'
The above exception was the direct cause of the following exception:
Traceback (most recent call last):
  File "/srv/app/chained.py", line 6, in <module>
    load("nowhere.json")
  File "/srv/app/chained.py", line 5, in load
    raise RuntimeError("cannot read the configuration") from e
RuntimeError: cannot read the configuration""",
        {"exit_code": 1},
        {"code", "config"},
        "",
    ),
    (
        "ckptmiss",
        """Traceback (most recent call last):
  File "/srv/app/ckptmiss.py", line 3, in <module>
    m.load_state_dict({"weight":torch.zeros(4,2),"extra":torch.zeros(1)})
  File "/opt/venv/lib/python3.11/site-packages/torch/nn/modules/module.py", line 2638, in load_state_dict
    raise RuntimeError(
RuntimeError: Error(s) in loading state_dict for Linear:
	Missing key(s) in state_dict: "bias".
	Unexpected key(s) in state_dict: "extra".
	size mismatch for weight: copying a param with shape torch.Size([4, 2]) from checkpoint, the shape in current model is torch.Size([3, 2]).""",
        {"exit_code": 1},
        {"code", "config"},
        "",
    ),
    (
        "ddp_dies",
        """rank 0 step 0
rank 1 step 0
rank 0 step 1
rank 1 step 1
rank 1 step 2
rank 0 step 2
[rank0]: Traceback (most recent call last):
[rank0]:   File "/srv/app/ddp_dies.py", line 8, in <module>
[rank0]:     d.all_reduce(t)
[rank0]:   File "/opt/venv/lib/python3.11/site-packages/torch/distributed/c10d_logger.py", line 83, in wrapper
[rank0]:     return func(*args, **kwargs)
[rank0]:            ^^^^^^^^^^^^^^^^^^^^^
[rank0]:   File "/opt/venv/lib/python3.11/site-packages/torch/distributed/distributed_c10d.py", line 3252, in all_reduce
[rank0]:     work.wait()
[rank0]: RuntimeError: [/__w/pytorch/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:537] Read error [127.0.0.1]:4496: Connection reset by peer. This is typically caused by a remote worker hanging or bugs in the application. Check the logs of the remote worker before reporting an error. GLHF! 🏖️
W1122 09:31:41.580000 31709 torch/distributed/elastic/multiprocessing/api.py:1028] Sending process 31866 closing signal SIGTERM
E1122 09:31:41.702000 31709 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: -9) local_rank: 1 (pid: 31868) of binary: /opt/venv/bin/python3
Traceback (most recent call last):
  File "/opt/venv/bin/torchrun", line 6, in <module>
    sys.exit(main())
             ^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/elastic/multiprocessing/errors/__init__.py", line 367, in wrapper
    return f(*args, **kwargs)
           ^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/run.py", line 1028, in main
    run(args)
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/run.py", line 1019, in run
    elastic_launch(
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 194, in __call__
    return launch_agent(
           ^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 383, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
=======================================================
ddp_dies.py FAILED
-------------------------------------------------------
Failures:
[1]:
  time      : 2026-11-22_09:31:41
  host      : node7
  rank      : 0 (local_rank: 0)
  exitcode  : -15 (pid: 31866)  (SIGTERM)
  error_file: <N/A>
  traceback : Signal 15 (SIGTERM) received by PID 31866
-------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-22_09:31:41
  host      : node7
  rank      : 1 (local_rank: 1)
  exitcode  : -9 (pid: 31868)  (SIGKILL)
  error_file: <N/A>
  traceback : Signal 9 (SIGKILL) received by PID 31868
=======================================================""",
        {"exit_code": 1, "oom_kills": 0},
        {"killed"},
        "RUN012",
    ),
    (
        "ddp_raises",
        """{'loss': 2.5, 'epoch': 0.0}
{'loss': 2.5, 'epoch': 0.0}
{'loss': 2.4, 'epoch': 0.1}
{'loss': 2.4, 'epoch': 0.1}
{'loss': 2.3, 'epoch': 0.2}
{'loss': 2.3, 'epoch': 0.2}
[rank1]: Traceback (most recent call last):
[rank1]:   File "/srv/app/ddp_raises.py", line 9, in <module>
[rank1]:     if r==1: training_step()
[rank1]:              ^^^^^^^^^^^^^^^
[rank1]:   File "/srv/app/ddp_raises.py", line 8, in training_step
[rank1]:     x=torch.zeros(3,5) @ torch.zeros(4,2)
[rank1]:       ~~~~~~~~~~~~~~~~~^~~~~~~~~~~~~~~~~~
[rank1]: RuntimeError: mat1 and mat2 shapes cannot be multiplied (3x5 and 4x2)
[rank0]: Traceback (most recent call last):
[rank0]:   File "/srv/app/ddp_raises.py", line 10, in <module>
[rank0]:     d.all_reduce(t)
[rank0]:   File "/opt/venv/lib/python3.11/site-packages/torch/distributed/c10d_logger.py", line 83, in wrapper
[rank0]:     return func(*args, **kwargs)
[rank0]:            ^^^^^^^^^^^^^^^^^^^^^
[rank0]:   File "/opt/venv/lib/python3.11/site-packages/torch/distributed/distributed_c10d.py", line 3252, in all_reduce
[rank0]:     work.wait()
[rank0]: RuntimeError: [/__w/pytorch/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:44723. This is typically caused by a remote worker crashing. Check the logs of the remote worker before reporting an error. GLHF! 🏖️
W1122 09:32:09.228000 32043 torch/distributed/elastic/multiprocessing/api.py:1028] Sending process 32254 closing signal SIGTERM
E1122 09:32:09.395000 32043 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: 1) local_rank: 1 (pid: 32255) of binary: /opt/venv/bin/python3
Traceback (most recent call last):
  File "/opt/venv/bin/torchrun", line 6, in <module>
    sys.exit(main())
             ^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/elastic/multiprocessing/errors/__init__.py", line 367, in wrapper
    return f(*args, **kwargs)
           ^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/run.py", line 1028, in main
    run(args)
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/run.py", line 1019, in run
    elastic_launch(
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 194, in __call__
    return launch_agent(
           ^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 383, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
ddp_raises.py FAILED
------------------------------------------------------------
Failures:
[1]:
  time      : 2026-11-22_09:32:09
  host      : node7
  rank      : 0 (local_rank: 0)
  exitcode  : -15 (pid: 32254)  (SIGTERM)
  error_file: <N/A>
  traceback : Signal 15 (SIGTERM) received by PID 32254
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-22_09:32:09
  host      : node7
  rank      : 1 (local_rank: 1)
  exitcode  : 1 (pid: 32255)
  error_file: <N/A>
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
============================================================""",
        {"exit_code": 1},
        {"code"},
        "RUN022",
    ),
    (
        "erofs",
        """Traceback (most recent call last):
  File "/srv/app/erofs.py", line 1, in <module>
    open("/srv/ro/trainer_state.json","w")
OSError: [Errno 30] Read-only file system: '/srv/ro/trainer_state.json'""",
        {"exit_code": 1},
        {"disk-error"},
        "SYS003",
    ),
    (
        "gradnan",
        """/srv/app/gradnan.py:2: UserWarning: Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for debugging.
  with torch.autograd.detect_anomaly():
/opt/venv/lib/python3.11/site-packages/torch/autograd/graph.py:979: UserWarning: Error detected in SqrtBackward0. Traceback of forward call that caused the error:
  File "/srv/app/gradnan.py", line 3, in <module>
    x=torch.tensor([-1.0],requires_grad=True); torch.sqrt(x).sum().backward()
 (Triggered internally at /__w/pytorch/pytorch/torch/csrc/autograd/python_anomaly_mode.cpp:122.)
  return Variable._execution_engine.run_backward(  # Calls into the C++ engine to run the backward pass
Traceback (most recent call last):
  File "/srv/app/gradnan.py", line 3, in <module>
    x=torch.tensor([-1.0],requires_grad=True); torch.sqrt(x).sum().backward()
                                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/torch/_tensor.py", line 623, in backward
    torch.autograd.backward(
  File "/opt/venv/lib/python3.11/site-packages/torch/autograd/__init__.py", line 395, in backward
    _engine_run_backward(
  File "/opt/venv/lib/python3.11/site-packages/torch/autograd/graph.py", line 979, in _engine_run_backward
    return Variable._execution_engine.run_backward(  # Calls into the C++ engine to run the backward pass
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
RuntimeError: Function 'SqrtBackward0' returned nan values in its 0th output.""",
        {"exit_code": 1},
        {"not-finite"},
        "RUN001|RUN002",
    ),
    (
        "hub_dl_refused",
        """'[Errno 111] Connection refused' thrown while requesting HEAD http://127.0.0.1:9/meta-llama/Llama-3.2-1B/resolve/main/config.json
Retrying in 1s [Retry 1/5].
'[Errno 111] Connection refused' thrown while requesting HEAD http://127.0.0.1:9/meta-llama/Llama-3.2-1B/resolve/main/config.json
Retrying in 2s [Retry 2/5].
'[Errno 111] Connection refused' thrown while requesting HEAD http://127.0.0.1:9/meta-llama/Llama-3.2-1B/resolve/main/config.json
Retrying in 4s [Retry 3/5].
'[Errno 111] Connection refused' thrown while requesting HEAD http://127.0.0.1:9/meta-llama/Llama-3.2-1B/resolve/main/config.json
Retrying in 8s [Retry 4/5].
'[Errno 111] Connection refused' thrown while requesting HEAD http://127.0.0.1:9/meta-llama/Llama-3.2-1B/resolve/main/config.json
Retrying in 8s [Retry 5/5].
'[Errno 111] Connection refused' thrown while requesting HEAD http://127.0.0.1:9/meta-llama/Llama-3.2-1B/resolve/main/config.json
httpcore2.ConnectError: [Errno 111] Connection refused
The above exception was the direct cause of the following exception:
httpx2.ConnectError: [Errno 111] Connection refused
The above exception was the direct cause of the following exception:
Traceback (most recent call last):
  File "/srv/app/hub_dl_refused.py", line 5, in <module>
    hf_hub_download("meta-llama/Llama-3.2-1B","config.json")
  File "/opt/venv/lib/python3.11/site-packages/huggingface_hub/utils/_validators.py", line 89, in _inner_fn
    return fn(*args, **kwargs)
           ^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/huggingface_hub/utils/_http.py", line 276, in _inner
    return fn(*args, **kwargs)
           ^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/huggingface_hub/file_download.py", line 1047, in hf_hub_download
    return _hf_hub_download_to_cache_dir(
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/huggingface_hub/file_download.py", line 1194, in _hf_hub_download_to_cache_dir
    _raise_on_head_call_error(head_call_error, force_download, local_files_only)
  File "/opt/venv/lib/python3.11/site-packages/huggingface_hub/file_download.py", line 1962, in _raise_on_head_call_error
    raise LocalEntryNotFoundError(
huggingface_hub.errors.LocalEntryNotFoundError: An error happened while trying to locate the file on the Hub and we cannot find the requested files in the local cache. Please check your connection and try again or make sure your Internet connection is on.""",
        {"exit_code": 1, "phase": "load"},
        {"network"},
        "",
    ),
    (
        "hub_offline",
        """huggingface_hub.errors.OfflineModeIsEnabled: Cannot reach https://huggingface.co/meta-llama/Llama-3.2-1B/resolve/main/config.json: offline mode is enabled. To disable it, please unset the `HF_HUB_OFFLINE` environment variable.
The above exception was the direct cause of the following exception:
Traceback (most recent call last):
  File "/srv/app/hub_offline.py", line 5, in <module>
    hf_hub_download("meta-llama/Llama-3.2-1B","config.json")
  File "/opt/venv/lib/python3.11/site-packages/huggingface_hub/utils/_validators.py", line 89, in _inner_fn
    return fn(*args, **kwargs)
           ^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/huggingface_hub/utils/_http.py", line 276, in _inner
    return fn(*args, **kwargs)
           ^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/huggingface_hub/file_download.py", line 1047, in hf_hub_download
    return _hf_hub_download_to_cache_dir(
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/huggingface_hub/file_download.py", line 1194, in _hf_hub_download_to_cache_dir
    _raise_on_head_call_error(head_call_error, force_download, local_files_only)
  File "/opt/venv/lib/python3.11/site-packages/huggingface_hub/file_download.py", line 1962, in _raise_on_head_call_error
    raise LocalEntryNotFoundError(
huggingface_hub.errors.LocalEntryNotFoundError: An error happened while trying to locate the file on the Hub and we cannot find the requested files in the local cache. Please check your connection and try again or make sure your Internet connection is on.""",
        {"exit_code": 1, "phase": "load"},
        {"config", "network"},
        "",
    ),
    (
        "hub_refused",
        """'[Errno 111] Connection refused' thrown while requesting HEAD http://127.0.0.1:9/meta-llama/Llama-3.2-1B/resolve/main/config.json
Retrying in 1s [Retry 1/5].
'[Errno 111] Connection refused' thrown while requesting HEAD http://127.0.0.1:9/meta-llama/Llama-3.2-1B/resolve/main/config.json
Retrying in 2s [Retry 2/5].
'[Errno 111] Connection refused' thrown while requesting HEAD http://127.0.0.1:9/meta-llama/Llama-3.2-1B/resolve/main/config.json
Retrying in 4s [Retry 3/5].
'[Errno 111] Connection refused' thrown while requesting HEAD http://127.0.0.1:9/meta-llama/Llama-3.2-1B/resolve/main/config.json
Retrying in 8s [Retry 4/5].
'[Errno 111] Connection refused' thrown while requesting HEAD http://127.0.0.1:9/meta-llama/Llama-3.2-1B/resolve/main/config.json
Retrying in 8s [Retry 5/5].
'[Errno 111] Connection refused' thrown while requesting HEAD http://127.0.0.1:9/meta-llama/Llama-3.2-1B/resolve/main/config.json
'[Errno 111] Connection refused' thrown while requesting HEAD http://127.0.0.1:9/meta-llama/Llama-3.2-1B/resolve/main/config.json
Retrying in 1s [Retry 1/5].
'[Errno 111] Connection refused' thrown while requesting HEAD http://127.0.0.1:9/meta-llama/Llama-3.2-1B/resolve/main/config.json
Retrying in 2s [Retry 2/5].
'[Errno 111] Connection refused' thrown while requesting HEAD http://127.0.0.1:9/meta-llama/Llama-3.2-1B/resolve/main/config.json
Retrying in 4s [Retry 3/5].
'[Errno 111] Connection refused' thrown while requesting HEAD http://127.0.0.1:9/meta-llama/Llama-3.2-1B/resolve/main/config.json
Retrying in 8s [Retry 4/5].
'[Errno 111] Connection refused' thrown while requesting HEAD http://127.0.0.1:9/meta-llama/Llama-3.2-1B/resolve/main/config.json
Retrying in 8s [Retry 5/5].
'[Errno 111] Connection refused' thrown while requesting HEAD http://127.0.0.1:9/meta-llama/Llama-3.2-1B/resolve/main/config.json
httpcore2.ConnectError: [Errno 111] Connection refused
The above exception was the direct cause of the following exception:
httpx2.ConnectError: [Errno 111] Connection refused
The above exception was the direct cause of the following exception:
Traceback (most recent call last):
  File "/opt/venv/lib/python3.11/site-packages/transformers/utils/hub.py", line 537, in cached_files
    hf_hub_download(
  File "/opt/venv/lib/python3.11/site-packages/huggingface_hub/utils/_validators.py", line 89, in _inner_fn
    return fn(*args, **kwargs)
           ^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/huggingface_hub/utils/_http.py", line 276, in _inner
    return fn(*args, **kwargs)
           ^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/huggingface_hub/file_download.py", line 1047, in hf_hub_download
    return _hf_hub_download_to_cache_dir(
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/huggingface_hub/file_download.py", line 1194, in _hf_hub_download_to_cache_dir
    _raise_on_head_call_error(head_call_error, force_download, local_files_only)
  File "/opt/venv/lib/python3.11/site-packages/huggingface_hub/file_download.py", line 1962, in _raise_on_head_call_error
    raise LocalEntryNotFoundError(
huggingface_hub.errors.LocalEntryNotFoundError: An error happened while trying to locate the file on the Hub and we cannot find the requested files in the local cache. Please check your connection and try again or make sure your Internet connection is on.
The above exception was the direct cause of the following exception:
Traceback (most recent call last):
  File "/srv/app/hub_refused.py", line 5, in <module>
    AutoTokenizer.from_pretrained("meta-llama/Llama-3.2-1B")
  File "/opt/venv/lib/python3.11/site-packages/transformers/models/auto/tokenization_auto.py", line 810, in from_pretrained
    config = PreTrainedConfig.from_pretrained(pretrained_model_name_or_path, **kwargs)
             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/transformers/configuration_utils.py", line 886, in from_pretrained
    config_dict, kwargs = cls.get_config_dict(pretrained_model_name_or_path, **kwargs)
                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/transformers/configuration_utils.py", line 936, in get_config_dict
    config_dict, kwargs = cls._get_config_dict(pretrained_model_name_or_path, **kwargs)
                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/transformers/configuration_utils.py", line 988, in _get_config_dict
    resolved_config_file = cached_file(
                           ^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/transformers/utils/hub.py", line 370, in cached_file
    file = cached_files(path_or_repo_id=path_or_repo_id, filenames=[filename], **kwargs)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/transformers/utils/hub.py", line 620, in cached_files
    raise OSError(
OSError: We couldn't connect to 'http://127.0.0.1:9' to load the files, and couldn't find them in the cached files.
Check your internet connection or see how to run the library in offline mode at 'https://huggingface.co/docs/transformers/installation#offline-mode'.""",
        {"exit_code": 1, "phase": "load"},
        {"network"},
        "",
    ),
    (
        "jsonl_own",
        """Traceback (most recent call last):
  File "/srv/app/jsonl_own.py", line 3, in <module>
    rows=[json.loads(l) for l in open("/srv/f.jsonl")]
         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/srv/app/jsonl_own.py", line 3, in <listcomp>
    rows=[json.loads(l) for l in open("/srv/f.jsonl")]
          ^^^^^^^^^^^^^
  File "/usr/lib/python3.11/json/__init__.py", line 346, in loads
    return _default_decoder.decode(s)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/usr/lib/python3.11/json/decoder.py", line 337, in decode
    obj, end = self.raw_decode(s, idx=_w(s, 0).end())
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/usr/lib/python3.11/json/decoder.py", line 353, in raw_decode
    obj, end = self.scan_once(s, idx)
               ^^^^^^^^^^^^^^^^^^^^^^
json.decoder.JSONDecodeError: Invalid control character at: line 1 column 12 (char 11)""",
        {"exit_code": 1},
        {"code", "data"},
        "",
    ),
    (
        "kbd",
        """Traceback (most recent call last):
  File "/srv/app/kbd.py", line 2, in <module>
    os.kill(os.getpid(),signal.SIGINT); time.sleep(1)
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
KeyboardInterrupt""",
        {"signal": 2},
        {"killed", "preempted", "stopped"},
        "",
    ),
    (
        "loader_killed",
        """step
step
step
step
step
step
Traceback (most recent call last):
  File "/srv/app/loader_killed.py", line 9, in <module>
    for b in DataLoader(D(),4,num_workers=2): print("step",flush=True)
  File "/opt/venv/lib/python3.11/site-packages/torch/utils/data/dataloader.py", line 725, in __next__
    data = self._next_data()
           ^^^^^^^^object address  : 0x7fa48f4a1540
object refcount : 2
object type     : 0x7fa4aec50f20
object type name: ConnectionResetError
object repr     : ConnectionResetError(104, 'Connection reset by peer')
lost sys.stderr""",
        {"exit_code": 1, "oom_kills": 0},
        {"killed", "ram-oom", "unknown"},
        "RUN011|RUN012|RUN022",
    ),
    (
        "loader_value",
        """step
step
step
step
step
step
step
step
Traceback (most recent call last):
  File "/srv/app/loader_value.py", line 9, in <module>
    for b in DataLoader(D(),4,num_workers=2): print("step",flush=True)
  File "/opt/venv/lib/python3.11/site-packages/torch/utils/data/dataloader.py", line 725, in __next__
    data = self._next_data()
           ^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/torch/utils/data/dataloader.py", line 1529, in _next_data
    return self._process_data(data, worker_id)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/torch/utils/data/dataloader.py", line 1567, in _process_data
    data.reraise()
  File "/opt/venv/lib/python3.11/site-packages/torch/_utils.py", line 794, in reraise
    raise exception
ValueError: Caught ValueError in DataLoader worker process 0.
Original Traceback (most recent call last):
  File "/opt/venv/lib/python3.11/site-packages/torch/utils/data/_utils/worker.py", line 374, in _worker_loop
    data = fetcher.fetch(index)  # type: ignore[possibly-undefined]
           ^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/torch/utils/data/_utils/fetch.py", line 54, in fetch
    data = [self.dataset[idx] for idx in possibly_batched_index]
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/torch/utils/data/_utils/fetch.py", line 54, in <listcomp>
    data = [self.dataset[idx] for idx in possibly_batched_index]
            ~~~~~~~~~~~~^^^^^
  File "/srv/app/loader_value.py", line 6, in __getitem__
    if i==33: raise ValueError("bad row 33")
              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
ValueError: bad row 33""",
        {"exit_code": 1},
        {"code", "data"},
        "RUN022|DATA",
    ),
    (
        "memerr",
        """Traceback (most recent call last):
  File "/srv/app/memerr.py", line 3, in <module>
    x=[bytearray(100<<20) for _ in range(50)]
      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/srv/app/memerr.py", line 3, in <listcomp>
    x=[bytearray(100<<20) for _ in range(50)]
       ^^^^^^^^^^^^^^^^^^
MemoryError""",
        {"exit_code": 1},
        {"ram-oom"},
        "RUN011",
    ),
    (
        "nocuda",
        """Traceback (most recent call last):
  File "/srv/app/nocuda.py", line 2, in <module>
    torch.zeros(1,device="cuda")
  File "/opt/venv/lib/python3.11/site-packages/torch/cuda/__init__.py", line 522, in _lazy_init
    raise AssertionError("Torch not compiled with CUDA enabled")
AssertionError: Torch not compiled with CUDA enabled""",
        {"exit_code": 1},
        {"config"},
        "",
    ),
    (
        "nosuchmod",
        """Traceback (most recent call last):
  File "/srv/app/nosuchmod.py", line 1, in <module>
    import flash_attn
ModuleNotFoundError: No module named 'flash_attn'""",
        {"exit_code": 1},
        {"code", "config"},
        "",
    ),
    (
        "np_ram",
        """Traceback (most recent call last):
  File "/srv/app/np_ram.py", line 2, in <module>
    np.zeros(10**15)
numpy._core._exceptions._ArrayMemoryError: Unable to allocate 7.11 PiB for an array with shape (1000000000000000,) and data type float64""",
        {"exit_code": 1},
        {"ram-oom"},
        "RUN011",
    ),
    (
        "pick",
        """Traceback (most recent call last):
  File "/srv/app/pick.py", line 5, in <module>
    if __name__=="__main__": main()
                             ^^^^^^
  File "/srv/app/pick.py", line 4, in main
    p=mp.Process(target=lambda:1); p.start()
                                   ^^^^^^^^^
  File "/usr/lib/python3.11/multiprocessing/process.py", line 121, in start
    self._popen = self._Popen(self)
                  ^^^^^^^^^^^^^^^^^
  File "/usr/lib/python3.11/multiprocessing/context.py", line 224, in _Popen
    return _default_context.get_context().Process._Popen(process_obj)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/usr/lib/python3.11/multiprocessing/context.py", line 288, in _Popen
    return Popen(process_obj)
           ^^^^^^^^^^^^^^^^^^
  File "/usr/lib/python3.11/multiprocessing/popen_spawn_posix.py", line 32, in __init__
    super().__init__(process_obj)
  File "/usr/lib/python3.11/multiprocessing/popen_fork.py", line 19, in __init__
    self._launch(process_obj)
  File "/usr/lib/python3.11/multiprocessing/popen_spawn_posix.py", line 47, in _launch
    reduction.dump(process_obj, fp)
  File "/usr/lib/python3.11/multiprocessing/reduction.py", line 60, in dump
    ForkingPickler(file, protocol).dump(obj)
AttributeError: Can't pickle local object 'main.<locals>.<lambda>'""",
        {"exit_code": 1},
        {"code"},
        "RUN022",
    ),
    (
        "portused",
        """Traceback (most recent call last):
  File "/srv/app/portused.py", line 4, in <module>
    d.init_process_group("gloo")
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/c10d_logger.py", line 83, in wrapper
    return func(*args, **kwargs)
           ^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/c10d_logger.py", line 97, in wrapper
    func_return = func(*args, **kwargs)
                  ^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/distributed_c10d.py", line 1892, in init_process_group
    store, rank, world_size = next(rendezvous_iterator)
                              ^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/rendezvous.py", line 280, in _env_rendezvous_handler
    store = _create_c10d_store(
            ^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/rendezvous.py", line 199, in _create_c10d_store
    return TCPStore(
           ^^^^^^^^^
torch.distributed.DistNetworkError: The server socket has failed to listen on any local network address. port: 37841, useIpv6: false, code: -98, name: EADDRINUSE, message: address already in use""",
        {"exit_code": 1},
        {"code", "config", "network", "unknown"},
        "",
    ),
    (
        "recur",
        """Traceback (most recent call last):
  File "/srv/app/recur.py", line 2, in <module>
    collate(1)
  File "/srv/app/recur.py", line 1, in collate
    def collate(x): return collate(x)
                           ^^^^^^^^^^
  File "/srv/app/recur.py", line 1, in collate
    def collate(x): return collate(x)
                           ^^^^^^^^^^
  File "/srv/app/recur.py", line 1, in collate
    def collate(x): return collate(x)
                           ^^^^^^^^^^
  [Previous line repeated 996 more times]
RecursionError: maximum recursion depth exceeded""",
        {"exit_code": 1},
        {"code"},
        "RUN022",
    ),
    (
        "refused",
        """Traceback (most recent call last):
  File "/opt/venv/lib/python3.11/site-packages/urllib3/connection.py", line 239, in _new_conn
    sock = connection.create_connection(
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/urllib3/util/connection.py", line 85, in create_connection
    raise err
  File "/opt/venv/lib/python3.11/site-packages/urllib3/util/connection.py", line 73, in create_connection
    sock.connect(sa)
ConnectionRefusedError: [Errno 111] Connection refused
The above exception was the direct cause of the following exception:
Traceback (most recent call last):
  File "/opt/venv/lib/python3.11/site-packages/urllib3/connectionpool.py", line 793, in urlopen
    response = self._make_request(
               ^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/urllib3/connectionpool.py", line 499, in _make_request
    conn.request(
  File "/opt/venv/lib/python3.11/site-packages/urllib3/connection.py", line 567, in request
    self.endheaders()
  File "/usr/lib/python3.11/http/client.py", line 1289, in endheaders
    self._send_output(message_body, encode_chunked=encode_chunked)
  File "/usr/lib/python3.11/http/client.py", line 1048, in _send_output
    self.send(msg)
  File "/usr/lib/python3.11/http/client.py", line 986, in send
    self.connect()
  File "/opt/venv/lib/python3.11/site-packages/urllib3/connection.py", line 398, in connect
    self.sock = self._new_conn()
                ^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/urllib3/connection.py", line 254, in _new_conn
    raise NewConnectionError(
urllib3.exceptions.NewConnectionError: HTTPConnection(host='127.0.0.1', port=9): Failed to establish a new connection: [Errno 111] Connection refused
The above exception was the direct cause of the following exception:
Traceback (most recent call last):
  File "/opt/venv/lib/python3.11/site-packages/requests/adapters.py", line 696, in send
    resp = conn.urlopen(
           ^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/urllib3/connectionpool.py", line 847, in urlopen
    retries = retries.increment(
              ^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/urllib3/util/retry.py", line 555, in increment
    raise MaxRetryError(_pool, url, reason) from reason  # type: ignore[arg-type]
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
urllib3.exceptions.MaxRetryError: HTTPConnectionPool(host='127.0.0.1', port=9): Max retries exceeded with url: /api/models/x (Caused by NewConnectionError("HTTPConnection(host='127.0.0.1', port=9): Failed to establish a new connection: [Errno 111] Connection refused"))
During handling of the above exception, another exception occurred:
Traceback (most recent call last):
  File "/srv/app/refused.py", line 2, in <module>
    requests.get("http://127.0.0.1:9/api/models/x")
  File "/opt/venv/lib/python3.11/site-packages/requests/api.py", line 87, in get
    return request("get", url, params=params, **kwargs)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/requests/api.py", line 71, in request
    return session.request(method=method, url=url, **kwargs)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/requests/sessions.py", line 651, in request
    resp = self.send(prep, **send_kwargs)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/requests/sessions.py", line 784, in send
    r = adapter.send(request, **kwargs)
        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/requests/adapters.py", line 729, in send
    raise ConnectionError(e, request=request)
requests.exceptions.ConnectionError: HTTPConnectionPool(host='127.0.0.1', port=9): Max retries exceeded with url: /api/models/x (Caused by NewConnectionError("HTTPConnection(host='127.0.0.1', port=9): Failed to establish a new connection: [Errno 111] Connection refused"))""",
        {"exit_code": 1},
        {"network"},
        "",
    ),
    (
        "safet",
        """Traceback (most recent call last):
  File "/srv/app/safet.py", line 6, in <module>
    load_file("/srv/x.safetensors")
  File "/opt/venv/lib/python3.11/site-packages/safetensors/torch.py", line 359, in load_file
    with safe_open(filename, framework="pt", device=device, backend=backend) as f:
         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
safetensors._safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata, file not fully covered""",
        {"exit_code": 1, "phase": "load"},
        {"config", "disk-error"},
        "",
    ),
    (
        "safet_full",
        """Traceback (most recent call last):
  File "/srv/app/safet_full.py", line 3, in <module>
    save_file({"a":torch.zeros(2000000)},"/srv/small/model.safetensors")
  File "/opt/venv/lib/python3.11/site-packages/safetensors/torch.py", line 323, in save_file
    serialize_file(
safetensors._safetensors_rust.SafetensorError: Error while serializing: I/O error: No space left on device (os error 28)""",
        {"exit_code": 1, "disk_free_bytes": 0, "inodes_free": 1000, "phase": "save"},
        {"disk-full"},
        "RUN025|SYS001",
    ),
    (
        "seg",
        """loading""",
        {"signal": 11},
        {"code"},
        "RUN022",
    ),
    (
        "segfh",
        """Fatal Python error: Segmentation fault
Current thread 0x00007f06e6061b80 (most recent call first):
  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at
  File "/srv/app/segfh.py", line 3 in attention
  File "/srv/app/segfh.py", line 4 in <module>""",
        {"signal": 11},
        {"code"},
        "RUN022",
    ),
    (
        "survived",
        """Traceback (most recent call last):
  File "/srv/app/survived.py", line 3, in <module>
    try: torch.zeros(10**15)
         ^^^^^^^^^^^^^^^^^^^
RuntimeError: [enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000000000 bytes. Error code 12 (Cannot allocate memory)
batch skipped
Traceback (most recent call last):
  File "/srv/app/survived.py", line 3, in <module>
    try: torch.zeros(10**15)
         ^^^^^^^^^^^^^^^^^^^
RuntimeError: [enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000000000 bytes. Error code 12 (Cannot allocate memory)
batch skipped
Traceback (most recent call last):
  File "/srv/app/survived.py", line 3, in <module>
    try: torch.zeros(10**15)
         ^^^^^^^^^^^^^^^^^^^
RuntimeError: [enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000000000 bytes. Error code 12 (Cannot allocate memory)
batch skipped
Traceback (most recent call last):
  File "/srv/app/survived.py", line 5, in <module>
    print(d["x"])
          ^
NameError: name 'd' is not defined. Did you mean: 'id'?""",
        {"exit_code": 1},
        {"code"},
        "RUN022",
    ),
    (
        "sysexit",
        """Error: please set OPENAI_KEY""",
        {"exit_code": 1},
        {"code", "config", "unknown"},
        "",
    ),
    (
        "timeoutgloo",
        """[rank0]: Traceback (most recent call last):
[rank0]:   File "/srv/app/timeoutgloo.py", line 5, in <module>
[rank0]:     d.all_reduce(t)
[rank0]:   File "/opt/venv/lib/python3.11/site-packages/torch/distributed/c10d_logger.py", line 83, in wrapper
[rank0]:     return func(*args, **kwargs)
[rank0]:            ^^^^^^^^^^^^^^^^^^^^^
[rank0]:   File "/opt/venv/lib/python3.11/site-packages/torch/distributed/distributed_c10d.py", line 3252, in all_reduce
[rank0]:     work.wait()
[rank0]: RuntimeError: [/__w/pytorch/pytorch/third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 3000ms for recv operation to complete
W1122 09:37:08.141000 9716 torch/distributed/elastic/multiprocessing/api.py:1028] Sending process 10149 closing signal SIGTERM
E1122 09:37:08.320000 9716 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: 1) local_rank: 0 (pid: 10147) of binary: /opt/venv/bin/python3
Traceback (most recent call last):
  File "/opt/venv/bin/torchrun", line 6, in <module>
    sys.exit(main())
             ^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/elastic/multiprocessing/errors/__init__.py", line 367, in wrapper
    return f(*args, **kwargs)
           ^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/run.py", line 1028, in main
    run(args)
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/run.py", line 1019, in run
    elastic_launch(
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 194, in __call__
    return launch_agent(
           ^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 383, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
timeoutgloo.py FAILED
------------------------------------------------------------
Failures:
[1]:
  time      : 2026-11-22_09:37:08
  host      : node7
  rank      : 1 (local_rank: 1)
  exitcode  : -15 (pid: 10149)  (SIGTERM)
  error_file: <N/A>
  traceback : Signal 15 (SIGTERM) received by PID 10149
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-22_09:37:08
  host      : node7
  rank      : 0 (local_rank: 0)
  exitcode  : 1 (pid: 10147)
  error_file: <N/A>
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
============================================================""",
        {"exit_code": 1},
        {"hang", "network"},
        "",
    ),
    (
        "toomany",
        """Traceback (most recent call last):
  File "/srv/app/toomany.py", line 3, in <module>
    f=[open("/dev/null") for _ in range(100)]
      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/srv/app/toomany.py", line 3, in <listcomp>
    f=[open("/dev/null") for _ in range(100)]
       ^^^^^^^^^^^^^^^^^
OSError: [Errno 24] Too many open files: '/dev/null'""",
        {"exit_code": 1},
        {"code", "config"},
        "SYS011|RUN022",
    ),
    (
        "torch_ram",
        """Traceback (most recent call last):
  File "/srv/app/torch_ram.py", line 2, in <module>
    torch.zeros(10**15)
RuntimeError: [enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000000000 bytes. Error code 12 (Cannot allocate memory)""",
        {"exit_code": 1},
        {"ram-oom"},
        "RUN011",
    ),
    (
        "torchload",
        """Traceback (most recent call last):
  File "/srv/app/torchload.py", line 5, in <module>
    torch.load("/srv/o.pt")
  File "/opt/venv/lib/python3.11/site-packages/torch/serialization.py", line 1568, in load
    with _open_zipfile_reader(opened_file) as opened_zipfile:
         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.11/site-packages/torch/serialization.py", line 807, in __init__
    super().__init__(torch._C.PyTorchFileReader(name_or_buffer))
                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
RuntimeError: PytorchStreamReader failed reading zip archive: failed finding central directory. This is an internal miniz error. If you are seeing this error, there is a high likelihood that your checkpoint file is corrupted. This can happen if the checkpoint was not saved properly, was transferred incorrectly, or the file was modified after saving.""",
        {"exit_code": 1, "phase": "load"},
        {"config", "disk-error"},
        "",
    ),
    (
        "torchsave_full",
        """Traceback (most recent call last):
  File "/opt/venv/lib/python3.11/site-packages/torch/serialization.py", line 1003, in save
    _save(
  File "/opt/venv/lib/python3.11/site-packages/torch/serialization.py", line 1312, in _save
    zip_file.write_record(name, storage, num_bytes)
RuntimeError: basic_ios::clear: iostream error
During handling of the above exception, another exception occurred:
Traceback (most recent call last):
  File "/srv/app/torchsave_full.py", line 2, in <module>
    torch.save({"a":torch.zeros(2000000)},"/srv/small/optimizer.pt")
  File "/opt/venv/lib/python3.11/site-packages/torch/serialization.py", line 1002, in save
    with _open_zipfile_writer(f) as opened_zipfile:
  File "/opt/venv/lib/python3.11/site-packages/torch/serialization.py", line 834, in __exit__
    self.file_like.write_end_of_file()
RuntimeError: [enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598""",
        {"exit_code": 1, "disk_free_bytes": 0, "inodes_free": 1000, "phase": "save"},
        {"disk-full"},
        "RUN025|SYS001",
    ),
    (
        "utf8",
        """Traceback (most recent call last):
  File "/srv/app/utf8.py", line 2, in <module>
    print(open("/srv/g.jsonl",encoding="utf-8").read())
          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "<frozen codecs>", line 322, in decode
UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe9 in position 12: invalid continuation byte""",
        {"exit_code": 1},
        {"code", "data"},
        "",
    ),
    (
        "write_full",
        """Traceback (most recent call last):
  File "/srv/app/write_full.py", line 2, in <module>
    for i in range(100): f.write("x"*100000)
                         ^^^^^^^^^^^^^^^^^^^
OSError: [Errno 28] No space left on device
During handling of the above exception, another exception occurred:
OSError: [Errno 28] No space left on device
During handling of the above exception, another exception occurred:
Traceback (most recent call last):
  File "/srv/app/write_full.py", line 1, in <module>
    with open("/srv/small/log.txt","w") as f:
OSError: [Errno 28] No space left on device""",
        {"exit_code": 1, "disk_free_bytes": 0, "inodes_free": 1000},
        {"disk-full"},
        "RUN025|SYS001",
    ),
]
