"""The machine and its operating system: files, Ctrl-C, progress, what measurements are made on, where TVM is."""
