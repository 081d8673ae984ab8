"""Two processes (torchrun, gloo) that train and save together: OUTPUT_DIR REPORT_DIR [resume]."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import torch
from tests.train.tiny_runs import arguments, model, rows
from transformers import Trainer

from trainguard.train.verified_saves import VerifiedSaves


class Guarded(VerifiedSaves, Trainer):
    pass


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    output, report = Path(sys.argv[1]), Path(sys.argv[2])
    trainer = Guarded(
        model=model(),
        args=arguments(output, save_steps=2, save_total_limit=2, per_device_train_batch_size=2, ddp_backend="gloo"),
        train_dataset=rows(),
    )
    trainer.train(resume_from_checkpoint="resume" in sys.argv)
    norm = sum(float(each.double().abs().sum()) for each in trainer.model.parameters())
    told = {"world": trainer.args.world_size, "norm": norm, "from": trainer._initial_global_step}
    (report / f"{trainer.args.process_index}.json").write_text(json.dumps(told))
    # Without it an exit may meet a thread of gloo that still runs, and abort.
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
