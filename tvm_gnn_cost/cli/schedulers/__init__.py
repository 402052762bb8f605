"""TVM's two schedulers behind the same commands: `choice` finds one by name, and no command asks which it is."""
