"""Posts and comments: who wrote a post is notified of each comment, and has a bell."""

from django.contrib.auth import get_user_model, login
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from posts import bell
from posts.models import Comment, Post
from posts.notifications import bell_id, notify_of_comments


@never_cache
def bell_token(request: HttpRequest) -> HttpResponse:
    """Who the bell is for is decided here, by the session, never by the page."""
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    return HttpResponse(bell.token_for(bell_id(request.user)), content_type="text/plain")


@require_POST
def comment(request: HttpRequest, post: int) -> HttpResponse:
    """Notify once it is committed: a rollback notifies nobody, and no error of Bellwire undoes it."""
    about = get_object_or_404(Post, pk=post)
    Comment.objects.create(post=about, author=signed_in(request), text=request.POST["text"])
    transaction.on_commit(notify_of_comments, robust=True)
    return redirect("/")


@require_POST
def new_post(request: HttpRequest) -> HttpResponse:
    Post.objects.create(author=signed_in(request), title=request.POST["title"])
    return redirect("/")


@require_POST
def sign_in(request: HttpRequest) -> HttpResponse:
    """Stands for your own sign-in."""
    user, _ = get_user_model().objects.get_or_create(username=request.POST["name"])
    login(request, user)
    return redirect("/")


def page(request: HttpRequest) -> HttpResponse:
    context = {
        "user": request.user,
        "bellwire": bell.URL,
        "bell_id": bell_id(request.user),
        "posts": Post.objects.prefetch_related("comments__author"),
    }
    return render(request, "page.html", context)


def signed_in(request: HttpRequest) -> object:
    if not request.user.is_authenticated:
        raise PermissionDenied
    return request.user
