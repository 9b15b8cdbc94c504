from django.urls import path

from posts import views

urlpatterns = [
    path("", views.page),
    path("bell-token", views.bell_token),
    path("sign-in", views.sign_in),
    path("posts", views.new_post),
    path("posts/<int:post>/comments", views.comment),
]
