"""Search as ask and tell: pure, seeded objects that Ray Tune, a simulator and a for-loop drive alike."""
