"""Image captioning and retrieval (Donahue et al. 2015, section 5): images to descriptors to sentences.

An image net makes a descriptor of an image (`captioner`), a word net gives the probability of every next word of a
sentence about it (`decoder`), and a search writes the sentence (`generate`).

Data to train on: what people wrote (`annotations`), its words (`sentences`), as HDF5 files (`streams`). Evaluation:
scores of sentences (`metrics`) and, beside them, of an n-gram model (`ngram`); captions and images that find each other
(`retrieval`), from the probability of every caption under every image (`pairs`).
"""
