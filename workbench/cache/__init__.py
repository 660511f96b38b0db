"""What may be answered from memory. Knows no HTTP and no backend."""
