"""What is made of the knowledge that a micro-batch does not fit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainguard.daemon.fits import fit_finding, fit_key, fitted

SIZES = st.integers(1, 512)


@given(batch=SIZES, accumulation=SIZES, largest=SIZES)
def test_the_effective_batch_stays_and_the_micro_batch_is_the_largest_that_fits(
    batch: int, accumulation: int, largest: int
) -> None:
    changes = fitted(batch, accumulation, largest)
    if batch <= largest:
        assert changes == {}
        return
    micro = changes["batch_size"]
    assert micro * changes["gradient_accumulation"] == batch * accumulation
    assert 1 <= micro <= largest
    assert not any((batch * accumulation) % size == 0 for size in range(micro + 1, largest + 1))


def test_what_fits_is_said_before_the_training_with_the_numbers_to_write() -> None:
    finding = fit_finding(8, 2, 2, max_length=2048, method="lora", gpu="NVIDIA L4")
    assert finding is not None
    assert (finding.code, finding.severity) == ("JOB017", "warn")
    change = "batch_size = 2 and gradient_accumulation = 8"
    for words in ("micro-batch of 8", "NVIDIA L4", change, "effective batch at 16"):
        assert words in finding.message
    assert str(finding.fix) == "set batch_size = 2 and gradient_accumulation = 8"


def test_an_odd_micro_batch_is_not_halved_past_what_divides_it() -> None:
    assert fitted(9, 1, 4) == {"batch_size": 3, "gradient_accumulation": 3}
    assert fitted(7, 1, 3) == {"batch_size": 1, "gradient_accumulation": 7}


def test_nothing_is_said_where_it_fits() -> None:
    assert fit_finding(2, 1, 2, max_length=2048, method="lora", gpu="NVIDIA L4") is None
    assert fitted(4, 1, 0) == {}


def test_another_gpu_length_method_or_model_is_tried_anew() -> None:
    one = {"model": "base", "method": "lora", "max_length": 2048, "gpu": "NVIDIA L4"}
    others = [{"model": "other"}, {"method": "full"}, {"max_length": 4096}, {"gpu": "NVIDIA H100"}]
    keys = {fit_key(**{**one, **other}) for other in [{}, *others]}  # type: ignore[arg-type]
    assert len(keys) == 5
