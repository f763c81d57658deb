"""The database that the SQL tasks talk to."""

from pathlib import Path

from ploomber.clients import SQLAlchemyClient


def database():
    """A SQLite file among the products."""
    Path("output").mkdir(exist_ok=True)
    return SQLAlchemyClient("sqlite:///output/sales.db")
