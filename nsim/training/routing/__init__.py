"""Recurrent spiking networks that fit the Mosaic fabric by construction: training under a sparsity profile.

After Weber, Ballet, Payvand 2024, arXiv:2412.01575, and Bellec et al. 2018, arXiv:1711.05136 (Deep Rewiring).
"""
