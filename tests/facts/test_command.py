from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainguard.facts.command import CommandFacts, Launch, read_command, starts_training

SOURCE = "import trl\ntrl.SFTTrainer('m').train()\n"
ENCODED = base64.b64encode(SOURCE.encode()).decode()
WORDS = ["cat", "<<EOF", "<<-'EOF'", "EOF", "\n", "|", "||", "&&", ";", "(", ")", "{", "}", "$(", "`", '"', "'", "\\",
         "python", "-c", "-m", "-", "uv", "run", "--with", "pip", "install", "-r", "bash", "env", "A=1", "$A", "${A:-",
         ">", "train.py", "base64", "-d", "echo", "accelerate", "launch", "torchrun", "if", "then", "fi", "for", "done",
         "case", "esac", "in", "tee", "nohup", "timeout", "hf", "upload", "exec(b64decode('QQ=='))",
         "\x00"]  # fmt: skip


def facts(command: object, env: dict[str, str] | None = None) -> CommandFacts:
    found = read_command(command, env)
    assert found is not None
    return found


def only_launch(command: object, env: dict[str, str] | None = None) -> Launch:
    (launch,) = facts(command, env).launches
    return launch


@pytest.mark.parametrize("command", [None, 3, {}, b"python train.py", ["python", 3], object()])
def test_other_values_are_no_command(command: object) -> None:
    assert read_command(command) is None


@given(st.one_of(st.text(max_size=300), st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join)))
def test_any_text_is_read(text: str) -> None:
    starts_training(facts(text, {"A": "1"}))
    starts_training(facts(["bash", "-c", text]))


@given(st.lists(st.one_of(st.text(max_size=20), st.sampled_from(WORDS)), max_size=12))
def test_any_words_are_read(words: list[str]) -> None:
    starts_training(facts(words))


@pytest.mark.parametrize(
    "text",
    [
        "(" * 200_000, "$(" * 100_000, '"$(' * 100_000, "<<A\n" * 100_000, "if " * 100_000, "a | " * 100_000,
        "nohup " * 100_000, "env " * 100_000, "A=aaaa\n" + "A=$A$A\n" * 40, "`" * 100_001, "{ " * 100_000,
        "A=aaaa\n" + "A=$A$A\n" * 20 + "".join(f"echo $A > f{n}\n" for n in range(2000)),
    ],
    ids=lambda text: text[:6],
)  # fmt: skip
def test_hostile_commands_come_back_in_seconds(text: str) -> None:
    started = time.perf_counter()
    starts_training(facts(["bash", "-c", text]))
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize(
    "command",
    [
        f"echo {ENCODED} | base64 -d > train.py && python train.py",
        f"echo '{ENCODED}' | base64 --decode | python -",
        f"base64 -d <<< {ENCODED} > train.py; python3 -u train.py",
        f"printf %s {ENCODED} | base64 -d | tee train.py; accelerate launch --num_processes 1 train.py",
        "(echo $UV_SCRIPT_ENCODED | base64 -d) > /tmp/script.py && uv run --with trl /tmp/script.py",
        f'echo "{ENCODED}" | base64 -d | uv run --with trl -p 3.11 - --epochs 3',
        f"python -c 'import base64; exec(base64.b64decode(\"{ENCODED}\").decode())'",
        f'python -c \'import base64; open("t.py", "wb").write(base64.b64decode("{ENCODED}"))\' && python t.py',
        f'python -c "$(echo {ENCODED} | base64 -d)"',
        f"cat > train.py <<'EOF'\n{SOURCE}EOF\npython train.py",
        f"cat <<'EOF' > train.py\n{SOURCE}EOF\npython train.py",
        f"cat > train.py <<EOF && python train.py\n{SOURCE}EOF\n",
        f"tee train.py <<EOF\n{SOURCE}EOF\npython train.py",
        f"python - <<'EOF'\n{SOURCE}EOF\n",
        f"cat <<'EOF' | python -\n{SOURCE}EOF\n",
        "cat <<-EOF | python\n" + "".join(f"\t{line}\n" for line in SOURCE.splitlines()) + "\tEOF\n",
        f"mkdir -p /w && cat > /w/train.py <<EOF\n{SOURCE}EOF\ncd /w && torchrun --nproc_per_node 1 train.py",
    ],
)
def test_the_program_is_read_out_of_the_command(command: str) -> None:
    for shape in (command, ["bash", "-lc", command], ["/bin/sh", "-c", f"set -e\n{command}"]):
        found = facts(shape, {"UV_SCRIPT_ENCODED": ENCODED})
        assert found.inline_sources[-1].strip() == SOURCE.strip()
        assert starts_training(found)


def test_an_unquoted_heredoc_expands_what_is_known() -> None:
    command = 'N=3\ncat > a.py <<EOF\nprint("$N", "\\$HOME", "$OTHER")\nEOF\npython a.py'
    assert only_launch(command).inline_source == 'print("3", "$HOME", "$OTHER")\n'


def test_a_quoted_heredoc_stays_as_it_is() -> None:
    command = "N=3\ncat > a.py <<'EOF'\nprint(\"$N\")\nEOF\npython a.py"
    assert only_launch(command).inline_source == 'print("$N")\n'


@pytest.mark.parametrize(
    ("command", "launcher", "processes", "script"),
    [
        ("accelerate launch train.py --num_processes 9", "accelerate", None, "train.py"),
        (
            "accelerate launch --num_processes=4 --multi_gpu --mixed_precision bf16 train.py",
            "accelerate",
            4,
            "train.py",
        ),
        ("torchrun --standalone --nproc_per_node gpu train.py", "torchrun", None, "train.py"),
        ("torchrun --nproc-per-node=8 train.py", "torchrun", 8, "train.py"),
        ("torchrun train.py", "torchrun", 1, "train.py"),
        ("python -m torch.distributed.run --nproc_per_node 2 train.py", "torchrun", 2, "train.py"),
        ("deepspeed --num_gpus 4 train.py --deepspeed ds.json", "deepspeed", 4, "train.py"),
        ("CUDA_VISIBLE_DEVICES=0 nohup timeout -k 5 2h python -u -W ignore -Wonce train.py", "python", 1, "train.py"),
        ("env A=1 uv run --with trl --no-project -p 3.11 train.py --x", "python", 1, "train.py"),
        ("uv run https://example.org/sft.py", "python", 1, "https://example.org/sft.py"),
        ("conda run -n env python train.py", "python", 1, "train.py"),
        ("trl sft --num_processes 2 --model_name m", "trl", 2, None),
    ],
)
def test_launchers_and_their_processes(command: str, launcher: str, processes: int | None, script: str | None) -> None:
    launch = only_launch(command)
    assert (launch.launcher, launch.processes, launch.script_path) == (launcher, processes, script)


def test_branches_loops_and_functions_are_all_read() -> None:
    command = (
        "if [ -d x ]; then python a.py; else python b.py; fi\n"
        "for n in 1 2; do python c.py $n; done\n"
        "case $1 in go) python d.py;; *) python e.py;; esac\n"
        "run() { python f.py; }\nrun\n! python g.py\n(cd x; python h.py) # python no.py\n"
    )
    scripts = [launch.script_path for launch in facts(command).launches if launch.launcher == "python"]
    assert scripts == [f"{letter}.py" for letter in "abcdefgh"]


@pytest.mark.parametrize(
    ("command", "ignored"),
    [
        ("python train.py || true", True),
        ("python train.py || echo failed", True),
        ("python train.py || exit 0", True),
        ("python train.py || exit 1", False),
        ("python train.py || (echo failed; exit 1)", False),
        ("python train.py && echo done", False),
        ("echo '|| true'; python train.py", False),
    ],
)
def test_ignored_failures(command: str, ignored: bool) -> None:
    assert only_launch(command).failure_ignored is ignored


@pytest.mark.parametrize(
    ("command", "names", "unknown"),
    [
        ("pip install -q 'trl[peft]>=0.12' peft", ["trl", "peft"], 0),
        ("python -m pip install -U --index-url https://x trl -f https://y torch", ["trl", "torch"], 0),
        ("uv pip install --system --torch-backend cu126 torch", ["torch"], 0),
        ("uv run --with trl,peft --with 'torch>=2' x.py", ["trl", "peft", "torch"], 0),
        ("pip install -r requirements.txt", [], 1),
        ("printf 'trl\\npeft>=1\\n# no\\n' > r.txt; pip install -r r.txt", ["trl", "peft"], 0),
        ("pip install -e . && pip install git+https://github.com/huggingface/trl.git", ["trl"], 1),
        ("pip install 'unsloth @ git+https://github.com/unslothai/unsloth'", ["unsloth"], 0),
        ("pip install https://x/flash_attn-2.8.3+cu12-cp312-cp312-linux_x86_64.whl", ["flash-attn"], 0),
        ("pip install $PACKAGES", [], 1),
        ("conda install -y pytorch", [], 1),
        ("echo pip install trl", [], 0),
        ("pip list; pip --version", [], 0),
    ],
)
def test_installations(command: str, names: list[str], unknown: int) -> None:
    found = facts(command)
    assert [requirement.name for requirement in found.installs] == names
    assert len(found.unknown_installs) == unknown


def test_environment_downloads_clones_and_hub_commands() -> None:
    found = facts(
        "export A=1 B='x y'; C=$A python a.py; wget -O t.py https://x/t.py; git clone https://github.com/o/r d\n"
        "hf auth login --token $HF_TOKEN; hf upload me/model out"
    )
    assert found.env == {"A": "1", "B": "x y", "C": "1"}
    assert found.downloads == ("https://x/t.py",)
    assert found.clones == ("https://github.com/o/r",)
    assert found.uploads
    assert found.logs_in


def test_shell_text_in_a_list_is_still_understood() -> None:
    assert only_launch(["python train.py --x 1"]).script_path == "train.py"
    found = facts(["pip", "install", "trl", "&&", "python", "my script.py"])
    assert [requirement.name for requirement in found.installs] == ["trl"]
    assert found.launches[0].script_path == "my script.py"


@pytest.mark.parametrize(
    "command",
    [
        "accelerate launch train.py", "accelerate launch main.py", "accelerate launch -m mypackage.run",
        "torchrun t.py",
        "trl sft --m x", "trl dpo", "trl grpo", "trl kto", "trl reward", "trl rloo", "axolotl train c.yml",
        "python -m axolotl.cli.train c.yml", "accelerate launch -m axolotl.cli.train c.yml", "llamafactory-cli train c",
        "deepspeed --num_gpus 2 run.py", "python train.py", "python scripts/train_sft.py", "python finetune_lora.py",
        "python fine_tune.py", "python fine-tune.py", "python sft.py", "python dpo.py", "python run_grpo.py",
        "python run_clm.py", "python train_and_eval.py", "python -m mypackage.train", "bash train.sh", "./train.sh",
        "uv run train.py", "uv run https://x.org/sft.py?raw=1", "tune run lora_finetune_single_device --config c",
        "cd repo && pip install . && python train.py", "swift sft --model m", "python pretrain.py",
    ],
)  # fmt: skip
def test_trainings_are_recognised(command: str) -> None:
    assert starts_training(facts(command))
    assert starts_training(facts(["bash", "-c", command]))


@pytest.mark.parametrize(
    "command",
    [
        "python evaluate.py", "python eval_sft.py", "accelerate launch eval.py",
        "accelerate launch -m lm_eval --tasks x",
        "accelerate config", "accelerate env", "accelerate estimate-memory m", "accelerate test", "torchrun --help",
        "accelerate launch --help", "python train.py --help", "trl env", "trl vllm-serve --model m", "trl chat",
        "axolotl preprocess c.yml", "llamafactory-cli webui", "lm_eval --model hf", "vllm serve m", "python main.py",
        "python generate.py", "python prepare_sft_data.py", "python merge_lora.py", "python download_train_data.py",
        "python data/tokenize_train.py", "python -c 'print(1)'", "echo train.py", "cat train.py", "python constrain.py",
        "python -m http.server", "pip install trl", "ls train.py", "echo 'accelerate launch train.py'",
        "# torchrun t.py",
        "torchrun inference.py", "python trained_model_demo.py", "python -m pytest tests/train.py", "",
    ],
)  # fmt: skip
def test_what_is_not_a_training(command: str) -> None:
    assert not starts_training(facts(command))
