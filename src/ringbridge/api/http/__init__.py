"""HTTP below the operations: the server, the edge, answers, refusals, pages, health and metrics."""
