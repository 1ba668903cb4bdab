"""What a user gives for a step, and how it becomes what the networks read."""
