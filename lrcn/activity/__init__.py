"""Activity recognition on UCF101: frames -> clips -> predictions -> report, as the authors' two evaluation scripts do.

Reading order is execution order: `lists` (which videos), `sources` (their frames), `preprocess` (crops), `clips`,
`models` (crops -> class probabilities), `store` (results on disk), `evaluate` (all videos), `report`.
"""
