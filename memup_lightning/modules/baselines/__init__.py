"""Other ways of training the same memory, which MemUP is compared with: truncated and full backpropagation, RTRL."""
