from django.urls import include, path
from rest_framework.routers import SimpleRouter

from . import views

router = SimpleRouter()
router.register("applications", views.ApplicationViewSet)
router.register("users", views.UserViewSet)
router.register("events", views.EventViewSet)
router.register("notices", views.NoticeViewSet, basename="notice")

urlpatterns = [
    path("session/", views.SessionView.as_view()),
    path("status/", views.StatusView.as_view()),
    path("", include(router.urls)),
]
