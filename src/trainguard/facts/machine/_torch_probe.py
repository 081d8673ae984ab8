"""Counts the CUDA devices that torch sees; run as a process of its own, since the first CUDA call may hang or crash."""

from __future__ import annotations

import json
import warnings


def main() -> None:
    print(json.dumps({"started": True}), flush=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            import torch

            sees = torch.cuda.device_count()
            if sees:
                torch.zeros(1, device="cuda")  # counting goes by the driver's table; this starts CUDA for real
            print(json.dumps({"sees": sees}), flush=True)
        except Exception as error:  # whatever a broken installation raises is the answer
            print(json.dumps({"problem": f"{type(error).__name__}: {error}"[:500]}), flush=True)
            return
    said = [str(each.message) for each in caught if "CUDA" in str(each.message) or "driver" in str(each.message)]
    if said and not sees:
        print(json.dumps({"problem": said[0][:500]}), flush=True)


if __name__ == "__main__":
    main()
