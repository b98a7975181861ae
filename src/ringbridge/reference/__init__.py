"""The reference page: the API described and tried, from its own OpenAPI document."""
