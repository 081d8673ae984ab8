"""The guarded trainer and its callback, on Transformers, TRL and PEFT. Nothing here is imported without being used."""
