"""What the policy of a strict site forbids, as it is found in a page."""

from __future__ import annotations

import re

#: Scripts and styles in the page itself, and handlers.
INLINE = re.compile(r"<script(?![^>]*\ssrc=)[^>]*>|<style|\sstyle=|\son\w+=", re.IGNORECASE)
