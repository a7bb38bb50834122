"""The worker process that measures: messages, the parent's side and the child's side."""
