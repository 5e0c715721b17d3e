"""The words on the wire: messages from clients, frames to them, and their encoding. Pure, no Django."""
