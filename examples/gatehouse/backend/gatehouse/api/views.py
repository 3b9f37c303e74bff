from datetime import timedelta

from django.contrib.auth import authenticate, login, logout
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_protect, ensure_csrf_cookie
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, OpenApiTypes, extend_schema, extend_schema_view
from gatehouse_audit.export import export
from gatehouse_audit.models import Event
from gatehouse_audit.record import record
from oauth2_provider.models import get_application_model
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response
from rest_framework.throttling import ScopedRateThrottle
from rest_framework.views import APIView

from gatehouse import __version__
from gatehouse.identity.models import Notice, User

from .serializers import (
    ApplicationSerializer,
    CreatedApplicationSerializer,
    EventSerializer,
    NoticeSerializer,
    SessionSerializer,
    SignInSerializer,
    StatusSerializer,
    UserSerializer,
)


def csrf_failure(request, reason=""):
    return JsonResponse({"detail": f"Cross-site request refused: {reason}"}, status=403)


@method_decorator([ensure_csrf_cookie, csrf_protect], name="dispatch")
class SessionView(APIView):
    """Signing in and out. Reading it sets the CSRF cookie, whose value every other method wants as X-CSRFToken."""

    permission_classes = [AllowAny]
    throttle_scope = "sign-in"

    def get_throttles(self):
        return [ScopedRateThrottle()] if self.request.method == "POST" else []

    @extend_schema(responses=SessionSerializer)
    def get(self, request):
        return self._session(request.user)

    @extend_schema(request=SignInSerializer, responses={200: SessionSerializer, 403: OpenApiResponse(description="No")})
    def post(self, request):
        sign_in = SignInSerializer(data=request.data)
        sign_in.is_valid(raise_exception=True)
        user = authenticate(request._request, **sign_in.validated_data)
        if user is None:
            raise PermissionDenied("The user name or the password is wrong.")
        login(request._request, user)
        return self._session(user)

    @extend_schema(responses={204: None})
    def delete(self, request):
        logout(request._request)
        return Response(status=204)

    def _session(self, user):
        return Response(SessionSerializer({"user": user if user.is_authenticated else None}).data)


class StatusView(APIView):
    """Whether the backend can do its work. The server in front asks before it calls itself ready."""

    authentication_classes = []
    permission_classes = [AllowAny]

    @extend_schema(responses={200: StatusSerializer, 503: StatusSerializer})
    def get(self, request):
        status = {"version": __version__, "database": True, "migrated": False}
        try:
            status["migrated"] = is_migrated()
        except DatabaseError:
            status["database"] = False
        return Response(StatusSerializer(status).data, status=200 if status["migrated"] else 503)


def is_migrated() -> bool:
    executor = MigrationExecutor(connection)
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())


@extend_schema_view(create=extend_schema(request=ApplicationSerializer, responses={201: CreatedApplicationSerializer}))
class ApplicationViewSet(viewsets.ModelViewSet):
    """OAuth2 clients: what users sign in to."""

    queryset = get_application_model().objects.order_by("name", "id")
    serializer_class = ApplicationSerializer
    lookup_field = "client_id"
    http_method_names = ["get", "post", "patch", "delete"]

    def get_serializer_class(self):
        return CreatedApplicationSerializer if self.action == "create" else ApplicationSerializer

    def perform_create(self, serializer):
        application = serializer.save()
        record(Event.Kind.APPLICATION_CREATED, self.request, self.request.user, subject=application.name)

    def perform_update(self, serializer):
        application = serializer.save()
        record(Event.Kind.APPLICATION_CHANGED, self.request, self.request.user, subject=application.name)

    def perform_destroy(self, instance):
        record(Event.Kind.APPLICATION_DELETED, self.request, self.request.user, subject=instance.name)
        instance.delete()


class UserViewSet(mixins.CreateModelMixin, mixins.UpdateModelMixin, viewsets.ReadOnlyModelViewSet):
    queryset = User.objects.all()
    serializer_class = UserSerializer
    http_method_names = ["get", "post", "patch"]


class EventViewSet(viewsets.ReadOnlyModelViewSet):
    """The audit record."""

    queryset = Event.objects.all()
    serializer_class = EventSerializer

    @extend_schema(
        parameters=[OpenApiParameter("days", int, description="How far back, 30 if not said.")],
        responses={(200, "application/xml"): OpenApiTypes.BINARY},
    )
    @action(detail=False, pagination_class=None)
    def export(self, request):
        days = request.query_params.get("days", "30")
        if not days.isdecimal() or len(days) > 5:
            return Response({"days": ["It is no number of days."]}, status=400)
        now = timezone.now()
        events = Event.objects.filter(time__gte=now - timedelta(days=int(days))).order_by("time", "id")
        return HttpResponse(export(events.iterator(), now), content_type="application/xml")


class NoticeViewSet(mixins.ListModelMixin, viewsets.GenericViewSet):
    """The notices of whoever asks."""

    permission_classes = [IsAuthenticated]
    serializer_class = NoticeSerializer
    queryset = Notice.objects.none()

    def get_queryset(self):
        if not self.request.user.is_authenticated:  # while the schema is made
            return self.queryset
        return Notice.objects.filter(user=self.request.user).select_related("event")
