"""Cascade Mask R-CNN (Cai and Vasconcelos, 2018): Mask R-CNN whose second stage runs several times.

Each time it has heads of its own, takes what the time before made of the regions, and asks for a better overlap.
"""
