"""Networks: layers, synapses, neurons, what reaches their input and what they send (activity). No times."""
