"""What the views answer: 20 rows, made anew for each request, and the same bytes each time."""


def rows():
    return {"books": [
        {"id": number, "title": f"The book of number {number}", "author": f"Author {number % 7}", "pages": 100 + 13 * number,
         "price": f"{number}.90", "in_stock": number % 3 > 0} for number in range(20)]}
