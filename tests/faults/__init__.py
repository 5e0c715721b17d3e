"""The fault kit: a cluster of real parts that die at random, and clients that must lose nothing by it.

``make faults`` runs it for long, ``test_faults.py`` for seconds. Every run prints its seed and takes one.
"""
