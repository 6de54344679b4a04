"""What coordinator and workers say to each other: message shapes, queue names, message proofs.

Pure: it parses and builds values. It knows neither sockets, Celery nor the database.
"""
