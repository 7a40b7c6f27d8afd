"""The operations that workers do on the VM, each with the checks of what it returned."""
