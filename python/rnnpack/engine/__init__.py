"""What runs a recurrent layer: native plans, the Python loop, masks, states and nested structures."""
