"""How fast sweeps are, against two peers that train the same trials, and against the machine's matrix products."""
