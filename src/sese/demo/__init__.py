"""The page that runs a model in the browser, and what serves it on this machine."""
