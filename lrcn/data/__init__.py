"""Batches for training, read ahead of the step: what Caffe's data layers and the authors' video layer hand out.

`prefetch` loads items in parallel and keeps their order; `generators` draws as Caffe draws; `transform` does crop,
mirror, mean and scale; `hdf5`, `image_list`, `lmdb_reader` and `video_sequence` each read one kind of source;
`python_layer` runs layer classes of the user's own. The layers that wrap them are in `lrcn.layers.data`.
"""
