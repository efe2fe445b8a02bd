"""Click commands that parse, call one operation and show its result."""
