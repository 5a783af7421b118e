"""Model servers in processes of their own."""
