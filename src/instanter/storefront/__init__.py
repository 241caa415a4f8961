"""The demo's shop and news page: a web server of its own that knows the engine by HTTP alone, and its crowd."""
