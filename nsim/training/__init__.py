"""Training of networks that the simulator runs. It needs JAX (the extra `train`), and nothing else in nsim does."""
