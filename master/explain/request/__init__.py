"""What would become of a request, in words, with the place in the configuration behind each decision."""
