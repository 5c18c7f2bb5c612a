"""Sparsity-aware training: sigma-delta networks that do less at equal accuracy, with weights as the chip stores them.

networks       what is trained, in the chip's arithmetic         regularisers   what makes it do less
pruning        which weights are kept                            fitting        one training
front          accuracy against cost, and which point is chosen  export         the file for `nsim run`, and its check
"""
