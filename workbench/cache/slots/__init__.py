"""What a text says in each slot, one small reader a slot, and how two readings differ. `guards` holds the table."""
