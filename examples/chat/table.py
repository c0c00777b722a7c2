"""Who is where: a table in a SQLite file that all of the functions' processes share. On AWS it would be DynamoDB's.

The file is in the functions' own home directory and goes when the gateway ends, as the connections do."""

import os
import sqlite3

PATH = os.environ.get("CHAT_TABLE") or os.path.join(os.environ["HOME"], "chat.sqlite")

db = sqlite3.connect(PATH, timeout=5, isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("CREATE TABLE IF NOT EXISTS presence (connection TEXT PRIMARY KEY, room TEXT, name TEXT)")


def add(connection):
    db.execute("INSERT OR REPLACE INTO presence (connection) VALUES (?)", (connection,))


def remove(connection):
    """Forgets a client; the room it was in."""
    room = room_of(connection)
    db.execute("DELETE FROM presence WHERE connection = ?", (connection,))
    return room


def join(connection, room, name):
    db.execute("INSERT OR REPLACE INTO presence VALUES (?, ?, ?)", (connection, room, name))


def place_of(connection):
    """A client's room and name."""
    found = db.execute("SELECT room, name FROM presence WHERE connection = ?", (connection,)).fetchone()
    return found or (None, None)


def room_of(connection):
    return place_of(connection)[0]


def everyone_in(room):
    """(connection, name) of everyone in a room."""
    return db.execute("SELECT connection, name FROM presence WHERE room = ? ORDER BY name", (room,)).fetchall()
