from django import forms

from books.models import Book
from books.validators import COVER_SIGNATURES, validate_cover


class CoverField(forms.FileField):
    # Here rather than on the model, so that only uploads are checked: the admin can save a book whose
    # cover has been there for years, even if its file is lost.
    default_validators = [validate_cover]

    def widget_attrs(self, widget):
        return dict(super().widget_attrs(widget), accept=','.join(sorted(COVER_SIGNATURES)))


class CoverForm(forms.ModelForm):
    cover = CoverField(widget=forms.FileInput)

    class Meta:
        model = Book
        fields = ['cover']


class BookAdminForm(forms.ModelForm):
    cover = CoverField(required=False, widget=forms.ClearableFileInput)

    class Meta:
        model = Book
        fields = '__all__'
