"""The flows spread over Ray; the only home of ray, optuna and deepspeed."""
