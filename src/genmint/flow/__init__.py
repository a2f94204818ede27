"""What a flow does, without Prefect: checkouts, the stage graph, stages, publication."""
