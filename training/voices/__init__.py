"""The speaker encoder, its cohort, the network for two voices and the weights of a remark."""
