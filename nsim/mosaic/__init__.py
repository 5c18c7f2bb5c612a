"""Mosaic: neuron tiles and routing tiles; what a recurrent network asks of them, and whether they can give it.

Weber, Ballet, Payvand 2024, arXiv:2412.01575; Dalgaty et al. 2024, Nature Communications 15:142.
"""
