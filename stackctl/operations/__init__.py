"""One straight line per job, in rooms: site, engine, run, look, models, images, bundle."""
