"""Hardware-aware training. Nothing outside this package imports it; its data come from `nsim.training.spoken`."""
