"""Jobs in processes of their own: the queue, the child, and what is done in it."""
