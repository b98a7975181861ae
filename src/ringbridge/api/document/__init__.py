"""Operations as data, and the OpenAPI document that is made from them."""
